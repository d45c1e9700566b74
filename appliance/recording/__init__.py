"""Session recordings: written off the event loop, crash-safe, chained, replayed without harm.

    proxy's event loop                     writer thread (a lane)                  receiving side
    Recorder.output(data) ─ batch ───────► pack (zstd) → chain → BlockSink ──────► RecordingStore
      echo guard for input   256 KiB or      spool file, fdatasync each second       the same bytes, in order,
      full / drained         250 ms                                                  then the signed manifest

    frames      what a recording is made of, to bytes and back (sans-IO)
    blocks      frames packed, framed and chained; the seam for encryption at rest (sans-IO)
    events      files moved, ports forwarded, people joining: typed JSON
    writer      `Recorder`, what the proxy feeds; never blocks the loop
    scribe      what loop and lane share: queue, failure, gap, end
    feed        the open batch and the queue of full ones
    lane        the writer threads, shared by all recordings of a process
    journal     the writing side of one recording: block after block to its sink
    sinks       where blocks go: a spool folder
    ticks       the two clocks, handed in
    echo        nothing typed while the terminal does not echo is kept (sans-IO)
    reader      frames with their times, seeking
    recovery    after a crash: the valid prefix, ended as lost
    manifest    what a whole recording is, signed
    verify      a file compared with its manifest; the answer names the difference
    store       recordings received by offset, idempotently; finished by a manifest
    asciicast   export to asciicast v2
    html        a single-file player that works offline (with the vendored `appliance.player`)
    control     terminal output told apart: text, controls, sequences, strings (sans-IO)
    screen      the allow-list of control sequences that may reach a terminal (sans-IO)
    replay      `sally play`: steps of text with their delays
    errors      the family of errors, as a tree

A recording is strict (what can't be recorded must not pass: the recorder raises, the session ends)
or best effort (a gap is counted, marked in the recording, and an alarm is given). Times within a
recording come from a clock that never goes back; each block carries an anchor of the wall clock.
What the format looks like byte by byte stands in `frames` and `blocks`.

Numbers: a crash of the process loses at most what was handed over in the last 0.35 s, a power cut at
most about the last second more; a recording holds at most 4 MiB of memory that waits for the disk
(8 MiB with a relay that does not heed `full`, which fails it); a write error is told within 0.5 s; a disk
that takes nothing for 10 s fails the recording.
"""
