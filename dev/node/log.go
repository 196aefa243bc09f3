package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	levelInfo  = "info"
	levelWarn  = "warning"
	levelError = "error"
	levelFatal = "fatal"
)

var (
	logMu  sync.Mutex
	logOut io.Writer = os.Stderr
)

// logf writes one line in logrus' text format, the format of every k3s line.
func logf(level, format string, args ...interface{}) {
	msg := fmt.Sprintf(format, args...)
	if strings.ContainsAny(msg, " \"=\n") || msg == "" {
		msg = strconv.Quote(msg)
	}
	writeLine(fmt.Sprintf("time=\"%s\" level=%s msg=%s\n", time.Now().UTC().Format(time.RFC3339), level, msg))
}

func infof(format string, args ...interface{}) { logf(levelInfo, format, args...) }

// klogf writes one line in klog's format, the format of the kubelet's lines.
// source is the file and line the real kubelet prints.
func klogf(source, format string, args ...interface{}) {
	now := time.Now().UTC()
	stamp := now.Format("I0102 15:04:05.000000")
	writeLine(fmt.Sprintf("%s %7d %s] %s\n", stamp, os.Getpid(), source, fmt.Sprintf(format, args...)))
}

func writeLine(line string) {
	logMu.Lock()
	defer logMu.Unlock()
	_, _ = io.WriteString(logOut, line)
}

// fatal ends the process as k3s ends: one line and exit code 1.
func fatal(err error) {
	logf(levelFatal, "%v", err)
	stopChildren()
	os.Exit(1)
}

// exitOnSignal ends the process with 1 on a signal: k3s exits 1 on SIGTERM,
// and tools that read exit codes must see the same.
func exitOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	stopChildren()
	os.Exit(1)
}
