"""What the specs of several operators share, and the faults that several of them must notice."""
