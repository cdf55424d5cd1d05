package policies

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"
)

// Bounds of a bundle.
const (
	MaxBundle         = 16 << 20 // bytes of the archive
	maxBundleUnpacked = 64 << 20 // bytes of all its files together, and of the archive without its compression
	maxBundleFiles    = 10_000
)

// unpack reads the files of a .tar.gz archive within the bounds. Names are made the same first, so that none is there twice under two spellings.
func unpack(archive []byte) ([]file, error) {
	if len(archive) > MaxBundle {
		return nil, fmt.Errorf("is larger than %d bytes", MaxBundle)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("is no .tar.gz archive: %w", err)
	}
	u := &unpacking{rest: &io.LimitedReader{R: zipped, N: maxBundleUnpacked}, room: maxBundleUnpacked, seen: map[string]bool{}}
	reader := tar.NewReader(u.rest)
	for {
		header, err := reader.Next()
		switch {
		case u.rest.N == 0:
			return nil, errUnpacks()
		case errors.Is(err, io.EOF):
			return u.files, u.end()
		case err != nil:
			return nil, fmt.Errorf("is no .tar.gz archive: %w", err)
		case header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		if err := u.add(header, reader); err != nil {
			return nil, err
		}
	}
}

func errUnpacks() error { return fmt.Errorf("unpacks to more than %d bytes", maxBundleUnpacked) }

// unpacking is an archive that is being read.
type unpacking struct {
	rest  *io.LimitedReader // what the archive still may unpack to
	room  int               // what its files still may hold: one with holes holds more than the archive
	seen  map[string]bool
	files []file
}

// add reads one file.
func (u *unpacking) add(header *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(strings.TrimPrefix(header.Name, "./"), "/")
	switch {
	case !fs.ValidPath(name) || name == "." || strings.Contains(name, "\\"), strings.ContainsFunc(name, unprintable):
		return fmt.Errorf("holds %q, which is no path inside a bundle", shortened(header.Name))
	case header.Typeflag != tar.TypeReg:
		return fmt.Errorf("holds %s, which is no regular file", name)
	case u.seen[name]:
		return fmt.Errorf("holds %s twice", name)
	case len(u.files) == maxBundleFiles:
		return fmt.Errorf("holds more than %d files", maxBundleFiles)
	}
	data, err := io.ReadAll(io.LimitReader(content, maxFileBytes+1))
	switch {
	case u.rest.N == 0 || len(data) > u.room:
		return errUnpacks()
	case err != nil:
		return fmt.Errorf("holds %s, which cannot be read: %w", name, err)
	case len(data) > maxFileBytes:
		return fmt.Errorf("holds %s, which is larger than %d bytes", name, maxFileBytes)
	}
	u.room -= len(data)
	u.seen[name] = true
	u.files = append(u.files, file{path: name, data: data})
	return nil
}

// unprintable characters of a name would act on the terminal of who reads in an error what a publisher wrote, before any signature is verified.
func unprintable(c rune) bool { return !unicode.IsPrint(c) }

// end reads what stands behind the last file, so that an archive that was cut off is noticed by its checksum.
func (u *unpacking) end() error {
	_, err := io.Copy(io.Discard, u.rest)
	switch {
	case u.rest.N == 0:
		return errUnpacks()
	case err != nil:
		return fmt.Errorf("is no whole .tar.gz archive: %w", err)
	}
	return nil
}
