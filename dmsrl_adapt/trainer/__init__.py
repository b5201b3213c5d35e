"""Training of a model on two data sets, and what the model then gives: predictions, files for deployment, a report.

It needs the packages of the extra `train`.
"""
