module k3dasync.dev/node

go 1.19
