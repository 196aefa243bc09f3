package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// grpcConn speaks gRPC over net/http's HTTP/2: messages with a five-byte
// prefix, the result in trailers.
type grpcConn struct {
	base string
	http *http.Client
}

// grpcError is a call's result other than OK.
type grpcError struct {
	code    int
	message string
}

func (e *grpcError) Error() string { return e.message }

// maxMessage is etcd's limit for a request, and more than our state needs.
const maxMessage = 16 << 20

func frame(m []byte) []byte {
	out := make([]byte, 5, 5+len(m))
	binary.BigEndian.PutUint32(out[1:], uint32(len(m)))
	return append(out, m...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > maxMessage {
		return nil, errors.New("unexpected gRPC frame")
	}
	m := make([]byte, size)
	_, err := io.ReadFull(r, m)
	return m, err
}

func (c *grpcConn) open(ctx context.Context, method string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+method, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", method, resp.Status)
	}
	return resp, nil
}

// result reads a finished call's status. A call that fails at once has it in
// the header.
func result(resp *http.Response) error {
	for _, header := range []http.Header{resp.Trailer, resp.Header} {
		text := header.Get("Grpc-Status")
		if text == "" {
			continue
		}
		code, err := strconv.Atoi(text)
		if err != nil || code == 0 {
			return err
		}
		message, err := url.PathUnescape(header.Get("Grpc-Message"))
		if err != nil {
			message = header.Get("Grpc-Message")
		}
		return &grpcError{code, message}
	}
	return errors.New("the gRPC call ended without a status")
}

// call sends one message and returns the one answer.
func (c *grpcConn) call(ctx context.Context, method string, request []byte) ([]byte, error) {
	resp, err := c.open(ctx, method, bytes.NewReader(frame(request)))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, frameErr := readFrame(resp.Body)
	_, _ = io.Copy(io.Discard, resp.Body) // trailers come after the body
	if err := result(resp); err != nil {
		return nil, err
	}
	return answer, frameErr
}

// stream sends one message and calls receive for every answer until one side
// ends it.
func (c *grpcConn) stream(ctx context.Context, method string, request []byte, receive func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The request stays open: closing it would end the stream.
	body, writer := io.Pipe()
	defer writer.Close()
	go func() { _, _ = writer.Write(frame(request)) }()
	resp, err := c.open(ctx, method, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for {
		m, err := readFrame(resp.Body)
		if errors.Is(err, io.EOF) {
			return result(resp)
		}
		if err == nil {
			err = receive(m)
		}
		if err != nil {
			return err
		}
	}
}
