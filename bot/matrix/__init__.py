"""The homeserver shell: the only package that imports mautrix clients."""
