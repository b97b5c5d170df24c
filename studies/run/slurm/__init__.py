"""A study's jobs as jobs of a SLURM cluster, through submitit.

Generators are one array, cells are one array for each generator that they wait for, and a last job
audits and reports. What a job is killed for (its time limit, a lost node) puts it back into the
queue, and it goes on from its checkpoint.
"""
