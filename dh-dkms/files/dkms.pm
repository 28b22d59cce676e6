# What `dh --with dkms` adds to its sequence.
use strict;
use warnings;
use Debian::Debhelper::Dh_Lib;

insert_before('dh_installinit', 'dh_dkms');

1;
