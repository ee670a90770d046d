"""Where a drill enters and leaves each layer of an aircraft stack, from one Setitec log per hole."""
