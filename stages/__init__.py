"""What is done to a batch: intake, extract, convert, store. Knows no processes and no queues."""
