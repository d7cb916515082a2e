"""The transfer engine: decisions (machine, planner, scheduler), truth (store) and work (engine, mover, reconcile)."""
