package loggertest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// RSS is the memory of a process that is in RAM, in bytes (proc(5), VmRSS).
func RSS(pid int) (int64, error) { return status(pid, "VmRSS:") }

// PeakRSS is the most RSS there was (VmHWM).
func PeakRSS(pid int) (int64, error) { return status(pid, "VmHWM:") }

func status(pid int, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of a process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("memory of process %d: %w", pid, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("memory of process %d: no %s", pid, key)
}

// CPU is the time that a process has spent on a processor, its own and the
// kernel's for it, to 10 ms (proc(5), utime and stime).
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU of a process: %w", err)
	}
	// The program's name may hold blanks; it ends with the last parenthesis.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, ticks = 11, time.Second / 100
	var sum time.Duration
	for _, f := range fields[utime : utime+2] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("CPU of process %d: %w", pid, err)
		}
		sum += time.Duration(n) * ticks
	}
	return sum, nil
}
