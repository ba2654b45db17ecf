"""Two aioice agents, relay candidates only: ICE must connect and carry messages both ways."""

import asyncio

from aioice import Connection, TransportPolicy

from arguments import answer, parser


def agent(arguments, controlling):
    return Connection(
        ice_controlling=controlling,
        turn_server=arguments.server,
        turn_username=arguments.user,
        turn_password=arguments.password,
        turn_transport="udp",
        transport_policy=TransportPolicy.RELAY,
    )


async def introduce(one, other):
    other.remote_username, other.remote_password = one.local_username, one.local_password
    for candidate in one.local_candidates:
        await other.add_remote_candidate(candidate)
    await other.add_remote_candidate(None)


async def client(arguments):
    caller, callee = agent(arguments, True), agent(arguments, False)
    await asyncio.gather(caller.gather_candidates(), callee.gather_candidates())
    types = {candidate.type for one in (caller, callee) for candidate in one.local_candidates}
    await introduce(caller, callee)
    await introduce(callee, caller)
    await asyncio.gather(caller.connect(), callee.connect())
    delivered = 0
    for number in range(arguments.count):
        message = f"ping {number}".encode()
        await caller.send(message)
        there = await asyncio.wait_for(callee.recv(), 3)
        await callee.send(there)
        delivered += await asyncio.wait_for(caller.recv(), 3) == message
    await asyncio.gather(caller.close(), callee.close())
    return {
        "ok": delivered == arguments.count and types == {"relay"},
        "echoed": delivered,
        "sent": arguments.count,
        "candidate_types": sorted(types),
    }


answer(client, parser(__doc__).parse_args())
