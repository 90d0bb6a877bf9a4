"""How events leave a service and reach it: told with the state they tell of, kept until handled, handled once.

`messaging.py` wires all of it for one service. Out: `outbox`, `relay`, `keeper`. In: `inbox`, with `steps`, `offsets`,
`parking` and `retrying`. Both: `shares` among replicas, `pulse` and `movement` to see what does not answer or move.
"""
