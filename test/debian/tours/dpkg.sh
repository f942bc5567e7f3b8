# dpkg: build a package, install, upgrade, break, remove and purge it, with scripts, conffiles, diversions and alternatives.
export LC_ALL=C TZ=UTC DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1600000000
mkdir -p /tmp/deb && cd /tmp/deb || exit 1
build() { # build VERSION
    rm -rf tour && mkdir -p tour/DEBIAN tour/usr/bin tour/etc tour/usr/share/tour
    printf 'Package: tour\nVersion: %s\nArchitecture: all\nMaintainer: Tux <tux@example.org>\nDepends: libc6\nDescription: a tour\n Of dpkg.\n' $1 > tour/DEBIAN/control
    printf '#!/bin/sh\necho tour %s\n' $1 > tour/usr/bin/tour; chmod 755 tour/usr/bin/tour; echo "setting=$1" > tour/etc/tour.conf; echo /etc/tour.conf > tour/DEBIAN/conffiles
    seq 1 5000 > tour/usr/share/tour/numbers; ln -s numbers tour/usr/share/tour/link; ln tour/usr/share/tour/numbers tour/usr/share/tour/hard
    for script in preinst postinst prerm postrm; do printf '#!/bin/sh\nset -e\necho %s "$@"\n' $script > tour/DEBIAN/$script; chmod 755 tour/DEBIAN/$script; done
    find tour -exec touch -h -d @1600000000 {} +
    dpkg-deb -Zgzip --root-owner-group -b tour tour_$1.deb
}
build 1.0 && build 2.0; dpkg-deb -I tour_1.0.deb; dpkg-deb -c tour_1.0.deb; dpkg -i tour_1.0.deb; echo "status $?"; tour; dpkg -s tour | head -3; dpkg -L tour; dpkg -S /usr/bin/tour; dpkg -V tour; echo damaged >> /usr/share/tour/numbers; dpkg -V tour; stat -c '%a %u %h' /usr/share/tour/hard; stat -c %Y /usr/bin/tour
echo changed=1 >> /etc/tour.conf; dpkg --force-confold -i tour_2.0.deb; echo "status $?"; tour; cat /etc/tour.conf; ls /etc/tour.conf*; dpkg -V tour; echo "status $?"; dpkg -l tour | tail -1; dpkg-query -W -f '${Package} ${Version} ${Status}\n' tour
dpkg-divert --local --rename --add /usr/bin/tour; ls /usr/bin/tour*; dpkg-divert --local --rename --remove /usr/bin/tour; update-alternatives --install /usr/bin/tour-alt tour-alt /usr/bin/tour 10; tour-alt; update-alternatives --display tour-alt; update-alternatives --remove tour-alt /usr/bin/tour
printf 'Package: broken\nVersion: 1\nArchitecture: all\nMaintainer: x\nDepends: no-such-package\nDescription: x\n' > tour/DEBIAN/control; rm -rf tour/usr tour/etc tour/DEBIAN/conffiles; printf '#!/bin/sh\nexit 3\n' > tour/DEBIAN/postinst; dpkg-deb -Zgzip -b tour broken.deb; dpkg -i broken.deb; echo "status $?"; dpkg --force-depends -i broken.deb; echo "status $?"; dpkg -l broken | tail -1; dpkg --audit | head -3; dpkg --purge --force-all broken; echo "status $?"
dpkg -r tour; echo "status $?"; dpkg -l tour | tail -1; ls /etc/tour.conf; dpkg -P tour; echo "status $?"; ls /etc/tour.conf /usr/share/tour; dpkg --compare-versions 1.0~rc1 lt 1.0 && echo older; dpkg --print-architecture; dpkg -l | wc -l; dpkg-query -W | sha1sum; sha1sum < /var/lib/dpkg/status; dpkg --get-selections | head -2; apt-get --version | head -1; apt-config dump | wc -l; apt-get -s -q install no-such-package; echo "status $?"; apt-cache policy | head -2; apt list --installed 2>/dev/null | wc -l
cd / && rm -rf /tmp/deb
