"""Room one: from files or a simulation to a checked cohort."""
