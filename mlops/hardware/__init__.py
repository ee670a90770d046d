"""What this machine is and does: chip, GPU, Neural Engine, power, memory pressure, heat."""
