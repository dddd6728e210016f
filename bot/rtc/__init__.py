"""MatrixRTC, pure: memberships, sessions, focus, our own membership. No I/O, no clock."""
