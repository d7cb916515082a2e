"""One call that makes a JupyterHub a hub with a gateway, and the doctor that looks at it."""
