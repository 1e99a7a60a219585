"""What runs inside a job: data, models, losses, training, prediction."""
