"""What makes a supervisor a service: the inbox, the control socket, the journal, systemd and metrics."""
