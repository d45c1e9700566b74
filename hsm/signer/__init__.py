"""The signer: the only process that may use a provider, and what it insists on.

```
protocol   requests and answers as frozen values; the codes of a refusal
codec      the same as frames on a socket; strict
limits     who may ask for what: a table, and token buckets
lint       what every certificate must look like
note       checkpoints of the audit log as signed notes
drafts     request → bytes to be signed → answer
ledger     every signature, durably, before it is made; serial numbers
token      sealed, open, or gone for the moment
signing    entered, signed, verified, linted again; or void
verifying  a process that verifies while the next signatures are made
desk       the work, without sockets and threads
queue      who is next
server     sockets and threads
client     the other side
```
Nothing here signs bytes that somebody hands in. `server` says how the process is started.
"""
