package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long the policy folder must rest before it is read: an editor or a checkout writes many files.
const quiet = 200 * time.Millisecond

// reloader calls reload for every cause of a new policy generation: a change in the folder, or SIGHUP. One at a time, so that
// the last cause wins. (The catalogue comes from the configuration file and changes with a restart only.)
type reloader struct {
	folder string           // "" = there is none to watch
	file   string           // the same of a bundle
	shadow string           // the same of the shadow; it may be missing
	hangup <-chan os.Signal // SIGHUP
	reload func(context.Context) error
	log    *slog.Logger
}

// run goes on until ctx ends. A reload that fails changes nothing and is not tried again before the next cause.
func (r *reloader) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	root, err := watchFolder(watcher, r.folder)
	if err != nil {
		return err
	}
	files, err := watchFile(watcher, r.file)
	if err != nil {
		return err
	}
	shadow, err := watchMissing(watcher, r.shadow)
	if err != nil {
		r.log.Warn("shadow policy folder not watched, SIGHUP has it read", "path", r.shadow, "error", err)
	}
	rest := time.NewTimer(quiet) // for what changed between the first load and the watch
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			if !within(root, event.Name) && !within(shadow, event.Name) && !slices.Contains(files, event.Name) {
				continue // a neighbour of a folder
			}
			if event.Has(fsnotify.Create) { // a new folder must be watched too
				if err := watchTree(watcher, event.Name); err != nil {
					r.log.Warn("policy folder not watched", "path", event.Name, "error", err)
				}
			}
			if event.Op != fsnotify.Chmod {
				rest.Reset(quiet)
			}
		case err := <-watcher.Errors: // events were lost, so anything may have changed
			r.log.Warn("policy folder events lost", "error", err)
			rest.Reset(quiet)
		case <-rest.C:
			r.try(ctx, "files")
		case <-r.hangup:
			r.try(ctx, "SIGHUP")
		}
	}
}

func (r *reloader) try(ctx context.Context, cause string) {
	if err := r.reload(ctx); err != nil {
		r.log.Error("policies not reloaded, the last good ones stay in force", "cause", cause, "error", err)
	}
	debug.FreeOSMemory() // reading took several times of what is kept
}

// watchFolder watches the policy folder with all below it, and the folder around it: a checkout may put a new folder in its
// place. It returns the folder's real path, which the events carry; "" when there is none.
func watchFolder(watcher *fsnotify.Watcher, folder string) (root string, err error) {
	if folder == "" {
		return "", nil
	}
	if root, err = filepath.Abs(folder); err != nil {
		return "", err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", err
	}
	return root, errors.Join(watcher.Add(filepath.Dir(root)), watchTree(watcher, root))
}

// watchFile watches the folders around a file, as others put a new one in its place. It returns the names whose events concern it: its own,
// that of what it links to, and the link by which a mounted configuration map is changed. The folder may be a busy one: the database may lie beside it.
func watchFile(watcher *fsnotify.Watcher, name string) (names []string, err error) {
	if name == "" {
		return nil, nil
	}
	if name, err = filepath.Abs(name); err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	names = []string{name, real, filepath.Join(filepath.Dir(name), "..data")}
	return names, errors.Join(watcher.Add(filepath.Dir(name)), watcher.Add(filepath.Dir(real)))
}

// within tells whether a file is a folder or lies below it. Nothing lies in "".
func within(folder, name string) bool {
	return folder != "" && (name == folder || strings.HasPrefix(name, folder+string(filepath.Separator)))
}

// watchMissing is watchFolder for a folder that may come later into a folder that is there.
func watchMissing(watcher *fsnotify.Watcher, folder string) (root string, err error) {
	root, err = watchFolder(watcher, folder)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if root, err = filepath.Abs(folder); err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(root))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(root)), watcher.Add(parent)
}

// watchTree watches a folder and all below it. Files and what has vanished again are left alone.
func watchTree(watcher *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return watcher.Add(path)
		}
		return nil
	})
}
