package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var group sync.WaitGroup
	var mutex sync.Mutex
	var total int64
	counts := map[int]int{}
	numbers := make(chan int, 10)
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			atomic.AddInt64(&total, int64(n))
			mutex.Lock()
			counts[n%7]++
			mutex.Unlock()
			runtime.Gosched()
			numbers <- n
		}(i)
	}
	go func() { group.Wait(); close(numbers) }()
	sum := 0
	for n := range numbers {
		sum += n
	}
	fmt.Println("sum", sum, total, counts)

	context, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	select {
	case <-context.Done():
		fmt.Println(context.Err())
	case <-time.After(time.Hour):
	}

	spin := make(chan bool)
	var stop int32
	for i := 0; i < 4; i++ { // loops without calls: they are preempted by signals
		go func() {
			for n := 0; atomic.LoadInt32(&stop) == 0; n++ {
			}
			spin <- true
		}()
	}
	time.Sleep(10 * time.Millisecond)
	runtime.GC()
	atomic.StoreInt32(&stop, 1)
	for i := 0; i < 4; i++ {
		<-spin
	}

	listener, err := net.Listen("unix", "/tmp/team.go.socket")
	fmt.Println(err)
	go func() {
		connection, _ := listener.Accept()
		buffer := make([]byte, 100)
		n, _ := connection.Read(buffer)
		connection.Write(buffer[:n])
		connection.Close()
	}()
	connection, _ := net.Dial("unix", "/tmp/team.go.socket")
	fmt.Fprint(connection, "over a socket")
	buffer := make([]byte, 100)
	n, _ := connection.Read(buffer)
	fmt.Println(string(buffer[:n]))

	out, err := exec.Command("sh", "-c", "echo out; exit 4").Output()
	fmt.Printf("%q %v\n", out, err)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-told)
	defer func() {
		fmt.Println("recovered", recover())
		os.Exit(8)
	}()
	var nothing *int
	*nothing = 1
}
