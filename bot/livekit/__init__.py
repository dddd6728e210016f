"""The SFU shell: the only package that imports livekit."""
