"""aioice's TURN client against a UDP echo peer: allocate, bind a channel, count the echoes."""

import asyncio
import ssl

from aioice import turn

from arguments import answer, endpoint, parser


class Echoes(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, source):
        self.received.put_nowait((data, source))

    def error_received(self, fault):
        self.received.put_nowait((fault, None))


def trusting_anyone():
    """The relay of the lab has a certificate of its own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def client(arguments):
    transport, echoes = await turn.create_turn_endpoint(
        Echoes,
        server_addr=arguments.server,
        username=arguments.user,
        password=arguments.password,
        ssl=trusting_anyone() if arguments.transport == "tls" else False,
        transport="udp" if arguments.transport == "udp" else "tcp",
    )
    relayed = transport.get_extra_info("sockname")
    echoed = lost = 0
    for number in range(arguments.count):
        # Lengths 0..3 modulo 4: the relay must not deliver ChannelData padding.
        message = f"{number:04}".encode() + bytes(arguments.size + number % 4)
        transport.sendto(message, arguments.peer)
        try:
            data, source = await asyncio.wait_for(echoes.received.get(), 3)
        except asyncio.TimeoutError:
            lost += 1
            continue
        if isinstance(data, Exception):
            raise data
        if data == message and source[:2] == arguments.peer:
            echoed += 1
    transport.close()
    return {
        "ok": echoed == arguments.count,
        "echoed": echoed,
        "sent": arguments.count,
        "lost": lost,
        "relayed": f"{relayed[0]}:{relayed[1]}",
    }


arguments = parser(__doc__)
arguments.add_argument("--peer", type=endpoint, required=True, help="UDP echo peer, HOST:PORT")
arguments.add_argument("--transport", choices=["udp", "tcp", "tls"], default="udp")
arguments.add_argument("--size", type=int, default=160, help="payload bytes")
answer(client, arguments.parse_args())
