"""The only place that works on asyncssh's inside: seams it does not promise, tied to one version.

    version     which asyncssh this was written for, and which private names must be there
    mended      a connection whose memory is bounded: back-pressure, rekeying, write batching
    channel     a channel that hands requests and data on instead of understanding them
    datapath    channel data under AES-GCM, past asyncssh's general packet handling
    aead        AES-GCM with the key schedule kept, instead of one made for each packet
    server      a connection of a person: raw user names, host-bound signatures, dropbear's greeting
    client      a connection to a node: host certificates judged by us, nothing opened by the node unasked
    hostbound   `publickey-hostbound-v00@openssh.com` (PROTOCOL of OpenSSH, section 3.1)

The rest of the proxy sees public names only. Two kinds of override live here. Those that make it *safe
or correct* are needed: `version.check` refuses to start where a seam is missing. Those that make it
*fast* (`datapath`, `aead`, write batching, no MSG_IGNORE) are used only on the version they were proven
on; on any other the stock path runs, and a warning is logged. `test_fast_pin` ties both to the pin.
"""
