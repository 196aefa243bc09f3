package main

import (
	"encoding/binary"
	"errors"
)

// The few protobuf messages of etcd's API are written and read by hand: a
// handful of fields do not justify a code generator and its libraries.

// message is a protobuf message being written.
type message []byte

const (
	wireVarint = 0
	wireBytes  = 2
)

func (m message) uint(field int, value uint64) message {
	m = binary.AppendUvarint(m, uint64(field)<<3|wireVarint)
	return binary.AppendUvarint(m, value)
}

func (m message) bool(field int, value bool) message {
	if !value {
		return m
	}
	return m.uint(field, 1)
}

func (m message) bytes(field int, value []byte) message {
	m = binary.AppendUvarint(m, uint64(field)<<3|wireBytes)
	m = binary.AppendUvarint(m, uint64(len(value)))
	return append(m, value...)
}

func (m message) string(field int, value string) message { return m.bytes(field, []byte(value)) }

// part is one field of a message being read.
type part struct {
	number int
	value  uint64 // of a number
	data   []byte // of bytes, a string or a message
}

var errTruncated = errors.New("truncated protobuf message")

// parts splits a message into its fields; unknown ones are the caller's to skip.
func parts(data []byte) ([]part, error) {
	var found []part
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, errTruncated
		}
		data = data[n:]
		p, rest, err := readPart(int(tag&7), data)
		if err != nil {
			return nil, err
		}
		p.number = int(tag >> 3)
		found, data = append(found, p), rest
	}
	return found, nil
}

func readPart(wire int, data []byte) (part, []byte, error) {
	fixed := map[int]int{1: 8, 5: 4}
	switch wire {
	case wireVarint:
		value, n := binary.Uvarint(data)
		if n <= 0 {
			return part{}, nil, errTruncated
		}
		return part{value: value}, data[n:], nil
	case wireBytes:
		size, n := binary.Uvarint(data)
		if n <= 0 || uint64(len(data)-n) < size {
			return part{}, nil, errTruncated
		}
		end := n + int(size)
		return part{data: data[n:end:end]}, data[end:], nil
	case 1, 5:
		if len(data) < fixed[wire] {
			return part{}, nil, errTruncated
		}
		return part{data: data[:fixed[wire]]}, data[fixed[wire]:], nil
	}
	return part{}, nil, errors.New("unknown protobuf wire type")
}
