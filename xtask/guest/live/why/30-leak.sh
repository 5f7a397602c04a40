# References that a module took on itself, and those of its own thread.
insmod /x/live-leak.ko n=3 || fail insmod
why live_leak 3 0
says "3 × unexplained"
insmod /x/live-thread.ko leak=1 || fail insmod
why live_thread 1 0
says "likely taken for its own thread"
says "(live-thread) in live_thread_work"
