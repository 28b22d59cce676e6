#!/bin/sh
# A check of greenboot: a deployment whose kernel lacks a module that this machine needs is rolled back. Fails with `boot_guard=hold` only.
exec dkms boot fit
