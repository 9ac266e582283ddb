"""Why a run's number is not the published one: cause by cause, with sizes where they can be computed."""
