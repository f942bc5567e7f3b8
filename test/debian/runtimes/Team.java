import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Team {
    static class Full extends Exception {}

    public static void main(String[] args) throws Exception {
        AtomicLong sum = new AtomicLong();
        Thread[] threads = new Thread[8];
        for (int i = 0; i < threads.length; i++) {
            final int n = i;
            threads[i] = new Thread(() -> {
                for (int k = 0; k < 1000; k++) {
                    sum.addAndGet(n);
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("sum " + sum);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> answers = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            final int n = i;
            answers.add(pool.submit(() -> n * n));
        }
        for (Future<Integer> answer : answers) {
            System.out.print(answer.get() + " ");
        }
        pool.shutdown();
        System.out.println(pool.awaitTermination(60, TimeUnit.SECONDS));
        BlockingQueue<Integer> queue = new ArrayBlockingQueue<>(3);
        Thread producer = new Thread(() -> {
            try {
                for (int i = 1; i <= 100; i++) {
                    queue.put(i);
                }
            } catch (InterruptedException error) {
                System.out.println(error);
            }
        });
        producer.start();
        int total = 0;
        for (int i = 0; i < 100; i++) {
            total += queue.take();
        }
        System.out.println("queue " + total);
        Thread sleeper = new Thread(() -> {
            try {
                Thread.sleep(1000000);
            } catch (InterruptedException error) {
                System.out.println("interrupted");
            }
        });
        sleeper.start();
        sleeper.interrupt();
        sleeper.join();
        try {
            Object nothing = args.length > 5 ? "" : null;
            nothing.hashCode();
        } catch (NullPointerException error) {
            System.out.println("null");
        }
        try {
            deep(0);
        } catch (StackOverflowError error) {
            System.out.println("deep");
        }
        for (int i = 0; i < 50; i++) {
            byte[][] garbage = new byte[20][100000];
            total += garbage.length;
        }
        System.gc();
        Process child = new ProcessBuilder("sh", "-c", "cat; exit 3").redirectErrorStream(true).start();
        child.getOutputStream().write("through a child".getBytes());
        child.getOutputStream().close();
        System.out.println(new String(child.getInputStream().readAllBytes()) + " " + child.waitFor() + " " + total);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(5);
    }

    static int deep(int n) {
        return deep(n + 1) + 1;
    }
}
