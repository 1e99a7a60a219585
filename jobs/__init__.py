"""What a job is: matrix, description, identity. Pure values: no torch, no file writes, no clocks."""
