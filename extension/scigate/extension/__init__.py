"""At home in a Jupyter Server: the storage API beside the notebooks, forwarded to the gateway or hosted here."""
