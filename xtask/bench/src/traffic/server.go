// One worker of the traffic set, in Go. As server.py: /ms/N and /block/N, which are the same here.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	here := fmt.Sprintf("%s %d", os.Getenv("WORKER_ID"), os.Getpid())
	answer := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		words := strings.Split(r.URL.Path, "/")
		if len(words) == 3 {
			ms, _ := strconv.Atoi(words[2])
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
		io.WriteString(w, here)
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(answer)))
}
