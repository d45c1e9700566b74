"""The virtual machine of the USB tier: a kernel package, a small initramfs, the host's own files read-only.

```
initramfs   busybox, the modules needed, and an init that puts the host's root under a throw-away overlay
machine     QEMU, two USB ports by usbredir, and the control line between both halves
inside      the half that runs in the guest: scenarios, and a bench that asks the host to plug keys
```

Kernel, libfido2, OpenSSH, pcscd, ykman and python-yubico in the guest are the distribution's, unmodified.
"""
