"""The one exception of the metrics: a value that has to be reported as null, with its reason."""


class NotMeasurable(ValueError):
    """This metric has no value here; the message says why and goes into the report."""
