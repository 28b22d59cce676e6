# Of the system for zypper: the same repository, and several versions of a kernel side by side.
mkdir -p /etc/zypp/repos.d
printf '[t]\nname=t\nenabled=1\ngpgcheck=0\nbaseurl=file:///srv/repo\n' >/etc/zypp/repos.d/t.repo
printf '[main]\nmultiversion = kernel-core,kernel-devel\n' >/etc/zypp/zypp.conf
printf 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n' >/etc/os-release
