module k3dasync.dev/runtime-wrapper

go 1.19
