"""Room four: figures and reports; draws what the other rooms computed."""
