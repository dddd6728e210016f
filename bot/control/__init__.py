"""What the operator asks of the running bot through its control socket."""
