"""The rig: one set of scenarios, run against keys reached in different ways.

```
run (the command) ── tiers in turn ──► report.{md,json,xml}
  scenarios/     what a person does with a key, written against a Bench; no scenario knows its transport
  table          which scenario runs on which transport, and in one place why one does not
  bench          what a scenario may do: make a key, plug it, reach its FIDO, card and OTP sides, pull it out
  benches/       in_process, pcsc (private pcscd), real (keys in this machine); the one for USB is in guest/
  guest/         the virtual machine: initramfs, QEMU, and the half of the rig that runs inside
  ssh            OpenSSH logging in with the key
  report         outcomes to Markdown, JSON and JUnit XML
```

A scenario passes by returning and fails by raising. In the virtual tiers nothing is skipped: what a transport
physically cannot do stands in `table.NOT_APPLICABLE` with its reason and is reported as `not-applicable`.
"""
