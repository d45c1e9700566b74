"""Files that pass, told apart from the bytes around them: each with its path, size and SHA-256. No IO.

    content   the bytes of one file in one direction: counted, hashed while they come in order
    sftp      the SFTP protocol (draft-ietf-secsh-filexfer-02, version 3, and OpenSSH's extensions)
    scp       the protocol of `scp -O`

What is told here is read from the protocol actually spoken, never from a command's text. An SFTP
subsystem's contents are hashed and not kept; where what passes is not SFTP after all, the watcher says
so and every byte is recorded from there on. A command that speaks scp is recorded in full like any
other command; what is told of its files comes on top.
"""
