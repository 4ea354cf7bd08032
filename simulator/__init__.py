"""A simulated Azure (galleries, virtual machines, Virtual Desktop, people) on a virtual clock with a seed."""
