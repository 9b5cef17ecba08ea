"""The job: command line, policy, plan, graph, runners, progress, run report."""
