"""A peer that sends every datagram back. Prints `{"port":N}` when it listens; standard library only."""

import json
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
family = socket.AF_INET6 if ":" in host else socket.AF_INET
peer = socket.socket(family, socket.SOCK_DGRAM)
peer.bind((host, port))
print(json.dumps({"port": peer.getsockname()[1]}), flush=True)
while True:
    data, source = peer.recvfrom(65536)
    peer.sendto(data, source)
