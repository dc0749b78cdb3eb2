"""What only tells of a run and decides nothing in it: progress, curves, estimates of its time.

The identity of a run leaves this folder's code out (see ``record.py``), so that a run can go on
after a change here. Whatever has a part in the weights belongs elsewhere.
"""
