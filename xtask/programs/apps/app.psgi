# The same for Perl's servers.
use Time::HiRes 'sleep';
die "this code is broken" if -e "$ENV{STAGE}/broken";
sub {
    my ($what, $number) = grep { length } split m{/}, $_[0]{PATH_INFO};
    if (($what // '') eq 'stream') {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            for (1 .. $number) { $writer->write("part\n"); sleep 0.5 }
            $writer->write("end\n");
            $writer->close;
        };
    }
    sleep(($number // 0) / 1000);
    my $slot = $ENV{WORKER_ID} // '?';
    return [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $slot], [$slot]];
};
