# perl: text, files, processes, signals, modules of its own.
cd /tmp || exit 1
export LC_ALL=C
perl - <<'P'
use strict; use warnings;
use POSIX qw(floor strftime WNOHANG :sys_wait_h); use File::Temp qw(tempdir); use File::Find; use File::Copy; use Digest::SHA qw(sha256_hex); use Data::Dumper;
use List::Util qw(sum max shuffle reduce); use Time::HiRes qw(usleep); use Storable qw(freeze thaw); use Fcntl qw(:flock :seek); use IPC::Open3; use Encode; use Math::BigInt; use JSON::PP;
$| = 1; $Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
print sum(map { $_ * 2 } 1 .. 100), " ", floor(-2.5), " ", Math::BigInt->new(2)->bpow(100), " ", 1 / 3, " ", 10 % -3, " ", "abc" x 2, "\n";
my %count; $count{$_}++ for split //, "mississippi"; print join(",", map { "$_=$count{$_}" } sort keys %count), "\n";
(my $text = "The quick brown fox") =~ s/(\w+) (\w+)/$2 $1/; print "$text\n"; print join("|", "a1b22c333" =~ /(\d+)/g), "\n";
print Dumper({ list => [1, [2, 3]], hash => { b => undef } }), JSON::PP->new->canonical->encode({ z => [1, "x"], a => \1 }), "\n";
my $dir = tempdir(CLEANUP => 1); open my $file, '>', "$dir/file" or die; print $file "line $_\n" for 1 .. 1000; close $file;
print -s "$dir/file", " ", (stat "$dir/file")[3], " ", sha256_hex(do { local (@ARGV, $/) = "$dir/file"; <> }), "\n";
open $file, '+<', "$dir/file"; flock $file, LOCK_EX; seek $file, -9, SEEK_END; print scalar <$file>; truncate $file, 20; close $file; copy "$dir/file", "$dir/copy"; rename "$dir/copy", "$dir/moved";
mkdir "$dir/sub", 0700; symlink "../file", "$dir/sub/link"; print readlink "$dir/sub/link", " ", join(",", sort map { s/^\Q$dir\E//r } do { my @all; find(sub { push @all, $File::Find::name }, $dir); @all }), "\n";
utime 1000, 2000, "$dir/file"; print join(",", (stat "$dir/file")[8, 9]), " ", join(",", sort map { s/.*\///r } glob "$dir/*"), " ", unlink("$dir/moved"), " ", rmdir("$dir/sub") ? 1 : 0 + $!, "\n";
print `echo backquotes`, $? >> 8, "\n"; system "sh", "-c", "exit 5"; print $? >> 8, "\n"; open my $pipe, '-|', 'seq 5' or die; print join("+", map { chomp; $_ } <$pipe>), "\n"; close $pipe;
my $pid = fork; if (!$pid) { exit 9 } waitpid $pid, 0; print $? >> 8, " ", waitpid(-1, WNOHANG), "\n";
pipe my $r, my $w; if (!fork) { close $r; print $w "from child\n" x 10000; exit } close $w; my $n = () = <$r>; wait; print "$n\n";
$pid = open3(my $in, my $out, undef, 'sort', '-r'); print $in "a\nc\nb\n"; close $in; print <$out>; waitpid $pid, 0;
{ local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print $@; } local $SIG{USR1} = sub { print "usr1\n" }; kill USR1 => $$; usleep 1000;
my $sub = fork; if (!$sub) { sleep 100; exit } kill TERM => $sub; waitpid $sub, 0; print $? & 127, "\n"; print strftime("%F %T", gmtime 86399), "\n"; print thaw(freeze([1, { a => 2 }]))->[1]{a}, "\n";
print encode("UTF-8", "\x{263a}"), " ", length "\x{263a}", "\n"; printf "%05.1f|%-5s|%s|%b|%e\n", 3.14159, "ab", join(",", reverse 1 .. 5), 10, 12345.678; print sprintf("%vd", "1.22.333"), "\n";
my @sorted = sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1 .. 1000; print "@sorted[0, 499, 999]\n"; print reduce { $a * $b } 1 .. 20; print "\n"; my $big = "x" x (32 << 20); substr($big, 1 << 20, 1) = "y"; print length $big, index($big, "y"), "\n";
open my $no, '<', '/no/such' or print "$!\n"; print((getpwnam "root")[7], " ", (getgrgid 0)[0], "\n"); chdir "/"; require Cwd; print Cwd::getcwd(), "\n"; local $0 = "renamed"; print eval { die { code => 3 } } // $@->{code}, "\n"; exit 42;
P
echo "status $?"
printf 'b 2\na 1\n' | perl -lane 'print "$F[1]$F[0]"'; seq 10 | perl -ne '$s += $_; END { print "$s\n" }'; printf 'x y\n' > e; perl -pi -e 's/x/z/' e; cat e; perl -MO=Deparse -e 'print 1' 2>&1; rm e; perl -c -e 'print 1' 2>&1; perl -e 'die "no\n"'; echo "status $?"
