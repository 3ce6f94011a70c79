// A worker in Go: it says that it is ready, reports how long each request took, answers pings, and finishes when llb says so.
//
//	go build -o worker examples/go/worker.go
//	PORT=8080 sudo -E llb run --ready-when ready -- ./worker
//
// llb gives GODEBUG=multipathtcp=0 to its workers: Go listens by Multipath TCP otherwise, which the kernel cannot steer.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// What llb calls LLB_FD; below 0 without llb.
type channel int

func open() channel {
	fd, err := strconv.Atoi(os.Getenv("LLB_FD"))
	if err != nil {
		return -1
	}
	return channel(fd)
}

// Without waiting: if llb does not read, or has ended, what was to be said is dropped.
func (llb channel) say(format string, args ...any) {
	line := fmt.Appendf(nil, format+"\n", args...)
	syscall.SendmsgN(int(llb), line, nil, nil, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

func (llb channel) hear(listener net.Listener) {
	for lines := bufio.NewScanner(os.NewFile(uintptr(llb), "llb")); lines.Scan(); {
		var message struct {
			Cmd string
			ID  uint64
		}
		if json.Unmarshal(lines.Bytes(), &message) != nil {
			continue
		}
		switch message.Cmd {
		case "ping":
			llb.say(`{"cmd":"pong","id":%d}`, message.ID)
		case "disconnect":
			// llb has left us out already: what still waits in the queue is accepted before the listener goes. Not by
			// http.Server.Shutdown, which closes a connection without an answer if its request comes in meanwhile.
			time.AfterFunc(100*time.Millisecond, func() { listener.Close() })
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	llb := open()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		fmt.Fprintf(w, "worker %s\n", os.Getenv("WORKER_ID"))
		llb.say(`{"cmd":"latency","us":%d}`, time.Since(begun).Microseconds())
	})
	if llb >= 0 {
		llb.say(`{"cmd":"ready"}`)
		go llb.hear(listener)
	}
	if err := http.Serve(listener, nil); !errors.Is(err, net.ErrClosed) {
		log.Fatal(err)
	}
	select {} // what has begun is finished, until SIGTERM
}
