"""Two aiortc peers (ICE, DTLS, SCTP), relay candidates only: a data channel must echo every message."""

import asyncio

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
)

from arguments import answer, parser


def peer(arguments):
    host, port = arguments.server
    host = f"[{host}]" if ":" in host else host
    return RTCPeerConnection(
        RTCConfiguration(
            iceServers=[
                RTCIceServer(
                    urls=f"turn:{host}:{port}?transport=udp",
                    username=arguments.user,
                    credential=arguments.password,
                )
            ],
            iceTransportPolicy=RTCIceTransportPolicy.RELAY,
        )
    )


def candidate_types(description):
    lines = (line for line in description.sdp.splitlines() if line.startswith("a=candidate:"))
    return {line.split(" typ ")[1].split()[0] for line in lines}


async def client(arguments):
    caller, callee = peer(arguments), peer(arguments)
    opened, echoes = asyncio.Event(), asyncio.Queue()

    @callee.on("datachannel")
    def echo(channel):
        channel.on("message", channel.send)

    channel = caller.createDataChannel("echo")
    channel.on("open", opened.set)
    channel.on("message", echoes.put_nowait)

    # setLocalDescription gathers, so the descriptions below hold every candidate.
    await caller.setLocalDescription(await caller.createOffer())
    await callee.setRemoteDescription(caller.localDescription)
    await callee.setLocalDescription(await callee.createAnswer())
    await caller.setRemoteDescription(callee.localDescription)
    types = candidate_types(caller.localDescription) | candidate_types(callee.localDescription)

    await asyncio.wait_for(opened.wait(), 20)
    echoed = 0
    for number in range(arguments.count):
        message = f"hello {number}"
        channel.send(message)
        echoed += await asyncio.wait_for(echoes.get(), 5) == message
    await asyncio.gather(caller.close(), callee.close())
    return {
        "ok": echoed == arguments.count and types == {"relay"},
        "echoed": echoed,
        "sent": arguments.count,
        "candidate_types": sorted(types),
    }


answer(client, parser(__doc__).parse_args())
