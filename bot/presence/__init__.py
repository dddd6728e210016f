"""Taking part in the sessions of a room: memberships of our own, connections, bridging."""
